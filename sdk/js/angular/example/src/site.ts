import { Component, inject } from '@angular/core';
import { RouterLink, RouterOutlet } from '@angular/router';
import { TrackmateService } from '@trackmate/angular';

@Component({
  selector: 'app-site',
  imports: [RouterLink, RouterOutlet],
  template: `
    <nav>
      <a routerLink="/">Offers</a>
      <a routerLink="/lisbon">This week's offer</a>
      <a routerLink="/closed">Last week's offer</a>
      <button type="button" (click)="signIn()">Sign in</button>
    </nav>
    <router-outlet />
  `,
})
export class Site {
  private readonly trackmate = inject(TrackmateService);

  protected signIn(): void {
    this.trackmate.identify('u-17', { plan: 'gold' });
  }
}
